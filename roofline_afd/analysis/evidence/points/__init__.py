"""Published points of serving, prompts included: read, predicted as serving modes are, compared by terms."""
