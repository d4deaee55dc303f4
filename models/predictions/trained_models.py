"""One row per training run of a prediction: the model, how it did, or why there is none."""


def model(dbt, session):
    """Train the predictions that are due; without any, no rows."""
    dbt.config(materialized="incremental", incremental_strategy="append", full_refresh=False)
    from cdi.predictions import frames, training

    examples, declared = dbt.ref("training_examples"), dbt.ref("declared_predictions")
    rows = training.train(frames.rows_of(examples), frames.rows_of(declared))
    return frames.answer(examples, training.SCHEMA, rows)
