-- One row per profile and past moment that a prediction which is due is learned from or judged by: features as they were,
-- and what came after. Empty where nothing is due.

{{ cdi.training_examples() }}
