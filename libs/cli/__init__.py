"""What a person types: the commands behind `vedette`."""
