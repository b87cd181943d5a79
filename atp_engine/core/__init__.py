"""Pure vocabulary shared by every room: values, events, views, errors, pricing and ports."""
