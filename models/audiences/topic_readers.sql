-- People who have read an article in the last 30 days and have a favourite topic.

{{ cdi.audience(
    all=[
        cdi.did('article_read', within='30 days'),
        cdi.trait('favourite_topic', exists=true)
    ],
    columns=['email', 'first_name', 'favourite_topic', 'topics_read']
) }}
