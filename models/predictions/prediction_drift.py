"""One row per prediction and feature (or score): how far people today are from those that it was learned from."""


def model(dbt, session):
    """Compare the features and scores of all profiles with those of the model's training."""
    dbt.config(materialized="table")
    from cdi.predictions import drift, frames

    features, declared = dbt.ref("profile_features"), dbt.ref("declared_predictions")
    trained, seeds = dbt.ref("trained_models"), dbt.ref("prediction_seeds")
    rows = drift.measure(*(frames.rows_of(table) for table in (features, declared, trained, seeds)))
    return frames.answer(features, drift.SCHEMA, rows)
