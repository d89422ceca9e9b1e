"""How a query's features meet a model's: by name or by place, never by what they count."""
