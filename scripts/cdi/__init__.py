"""Customer data infrastructure in your own warehouse: what dbt alone cannot do, behind one command."""
