"""Parses HTML pages and selects elements, for `get_hrefs` and `pluck_data`."""
