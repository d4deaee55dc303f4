"""Predictions: what people will probably do, learned from what they did.

Functions of Arrow tables and NumPy arrays that know no warehouse. dbt's Python models (models/predictions/*.py) and
`cdi predict` call them; what is imported below costs nothing until something is trained or scored.
"""
