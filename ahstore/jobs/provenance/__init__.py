"""What finished runs answer: where a version comes from, what was made of it, whether it can be made again."""
