"""One row per prediction and profile that it is about: the score, where it stands, and why."""


def model(dbt, session):
    """Score all profiles with the newest model of each prediction."""
    dbt.config(materialized="table")
    from cdi.predictions import frames, scoring

    features, declared = dbt.ref("profile_features"), dbt.ref("declared_predictions")
    trained, seeds = dbt.ref("trained_models"), dbt.ref("prediction_seeds")
    rows = scoring.score(*(frames.rows_of(table) for table in (features, declared, trained, seeds)))
    return frames.answer(features, scoring.SCHEMA, rows)
