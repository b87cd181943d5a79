"""Widgets that paint line by line; they know roles and views, never colours or sockets."""
