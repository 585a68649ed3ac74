"""What breaks it, what leaks: the attacks of docs/reliability.md, each a part with a seed and a figure."""
