"""Alerts: findings become transitions, transitions become messages, and somebody hears of each once."""
