"""Charts as files: html that needs no network, svg, png, pdf, or Vega-Lite json."""
