"""Pages: what reports and the pages under /ui share. A style sheet, components, charts and how numbers are written."""
