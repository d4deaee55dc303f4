-- Written by `cdi audience compile` from new_this_week.audience: change that file.
-- People who were seen for the first time in the last 7 days.

{{ cdi.audience(
    all=[
        cdi.trait('first_seen_at', within='7 days')
    ],
    columns=['email', 'first_name', 'first_seen_at', 'count_events', 'count_orders']
) }}
