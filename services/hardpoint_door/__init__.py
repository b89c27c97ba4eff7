"""The door: where senders of webhooks come in by HTTP. It decides nothing, keeps nothing and knows no secret."""
