"""The pages about people: signing in, invites, who there is, and what was done."""
