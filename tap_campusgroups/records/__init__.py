"""Records: values, rows, pages, JSON, data quality, the writer."""
