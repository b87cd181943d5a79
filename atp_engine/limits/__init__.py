"""Pure admission maths: request rates, the fair queue, learned parallelism and what they decide together."""
