// The prompt: the last message in full, the ones before it folded away.

import { boxTables, element } from "./elements.js";

const ROLES = { user: "User", assistant: "Assistant", system: "System", tool: "Tool" };

export class PromptView {
  constructor(messages, fetchRaw) {
    this.messages = messages;
    this.fetchRaw = fetchRaw;
    this.isRaw = false;
    this.texts = messages.map((message) => {
      const text = element("div", { class: "text", dir: "auto", html: message.html });
      boxTables(text);
      return text;
    });
    const shown = messages.map((message, index) => element("div", { class: `message role-${ROLES[message.role] ? message.role : "other"}` },
      element("p", { class: "role", text: ROLES[message.role] ?? message.role }), this.texts[index]));
    const last = shown.pop();
    this.root = element("section", { class: "prompt", "aria-label": "Prompt" }, element("h2", { class: "hidden-label", text: "Prompt" }));
    if (shown.length === 1 && messages[0].role === "system") {
      this.root.append(element("details", { class: "before" }, element("summary", { text: "System message" }), ...shown));
    } else if (shown.length > 0) {
      const turns = `${shown.length} earlier message${shown.length === 1 ? "" : "s"}`;
      this.root.append(element("details", { class: "before", open: shown.length <= 2 }, element("summary", { text: turns }), ...shown));
    }
    if (messages.length === 1) last.querySelector(".role").textContent = "Prompt";
    this.box = element("div", { class: "scroll-box last-message", "data-name": "Prompt" }, last);
    this.root.append(this.box);
  }

  toggle() {
    const isSmall = this.root.classList.toggle("is-small");
    return isSmall;
  }

  async showRaw(isRaw) {
    this.isRaw = isRaw;
    await Promise.all(this.messages.map(async (message, index) => {
      const html = isRaw ? message.raw_html ?? (await this.fetchRaw(index)) : message.html;
      if (this.isRaw !== isRaw) return;
      this.texts[index].innerHTML = html; // made harmless by the server
      this.texts[index].classList.toggle("is-raw", isRaw);
      boxTables(this.texts[index]);
    }));
  }
}
