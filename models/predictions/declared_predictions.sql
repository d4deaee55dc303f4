-- One row per prediction that the YAML of this folder declares: what Python needs to know of it.

{{ cdi.prediction_rows() }}
