"""What belongs to none of the other folders: callbacks, checks, saving, figures, wrappers, what is known exactly."""
