"""A search's directory -> one page that shows it whole, for people who were not there."""

from search.report.page import write_report as write_report
