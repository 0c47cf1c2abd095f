"""What people see: tables in every output format, charts, and pages."""
