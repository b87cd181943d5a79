"""One file per screen; each is a frame of panes over the same folded state."""
