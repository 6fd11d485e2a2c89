"""Conversations, one file for each family of protocols."""
