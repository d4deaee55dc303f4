"""One row per training run of a prediction: the model, how it did, or why there is none."""


def model(dbt, session):
    """Train the predictions that are due; without any, no rows."""
    dbt.config(materialized="incremental", incremental_strategy="append", full_refresh=False)
    from cdi.predictions.frames import answer
    from cdi.predictions.training import train

    examples = dbt.ref("training_examples")
    return answer(examples, train(examples, dbt.ref("declared_predictions")))
