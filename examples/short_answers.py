"""A first run of your own: any Python function as the reward."""

from posttrain import GRPOConfig, grpo


def short_and_polite(prompts, completions, **columns):
    """1 for an answer that thanks, minus a little for every word."""
    return [float("thank" in text.lower()) - 0.01 * len(text.split()) for text in completions]


if __name__ == "__main__":
    config = GRPOConfig(
        data={"path": "examples/questions.jsonl"},
        output="runs/short-answers",
        steps=10,
        prompts_per_step=4,
        sampling={"max_new_tokens": 48},
        optimizer={"learning_rate": 1e-5},
    )
    result = grpo(config, reward=short_and_polite)
    print(result.model_folder)
