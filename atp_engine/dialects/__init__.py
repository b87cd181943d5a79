"""Wire formats as pure functions over bytes: reading, passing through, translating."""
