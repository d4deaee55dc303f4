-- The 500 people who behave most like the 500 customers of most revenue, without being one of them.

with

ranked as (

    select
        profile_id,
        score,
        reasons,
        row_number() over (order by score desc, profile_id asc) as place
    from {{ ref('like_the_best') }}

)

select
    profiles.profile_id,
    profiles.email,
    profiles.first_name,
    cast(ranked.score as numeric(18, 4)) as likeness,
    ranked.reasons
from {{ ref('profiles') }} as profiles
inner join ranked on profiles.profile_id = ranked.profile_id
where ranked.place <= 500
