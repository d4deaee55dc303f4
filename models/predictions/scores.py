"""One row per prediction and profile that it is about: the score, where it stands, and why."""


def model(dbt, session):
    """Score all profiles with the newest model of each prediction."""
    dbt.config(materialized="table")
    from cdi.predictions.frames import answer
    from cdi.predictions.scoring import score

    features = dbt.ref("profile_features")
    declared, trained, seeds = dbt.ref("declared_predictions"), dbt.ref("trained_models"), dbt.ref("prediction_seeds")
    return answer(features, score(features, declared, trained, seeds))
