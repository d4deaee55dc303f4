-- People who joined the newsletter, have not left it, and said yes to advertising.

select
    profiles.profile_id,
    profiles.email,
    profiles.first_name,
    profiles.favourite_category
from {{ ref('profiles') }} as profiles
inner join {{ ref('profile_consent') }} as consent
    on
        profiles.profile_id = consent.profile_id
        and consent.category = 'Advertising'
        and consent.is_granted
where profiles.is_newsletter_subscriber
