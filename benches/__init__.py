"""The same job side by side on the local AWS: `python -m benches` measures Albatross and what else could do it."""
