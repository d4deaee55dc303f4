{{ config(severity='warn') }}
-- Rules that were edited in seeds/ and are not in force yet, or are in force and no longer in seeds/.
-- `cdi identity plan` shows what they would change; `dbt build --full-refresh` puts them in force.

with

edited as (

    select
        'type' as rule,
        identifier_type,
        cast(priority as {{ dbt.type_string() }}) as first_value,
        cast(limit_count as {{ dbt.type_string() }}) as second_value,
        limit_window as third_value,
        normalisation as fourth_value
    from {{ ref('identifier_types') }}
    union all
    select
        'source' as rule,
        identifier_type,
        path as first_value,
        conditions as second_value,
        null as third_value,
        null as fourth_value
    from {{ ref('identifier_sources') }}
    union all
    select
        'blocked' as rule,
        identifier_type,
        match as first_value,
        value as second_value,
        null as third_value,
        null as fourth_value
    from {{ ref('blocked_identifiers') }}

),

in_force as (

    select
        rule,
        identifier_type,
        case rule
            when 'type' then cast(priority as {{ dbt.type_string() }}) when 'source' then path else match
        end as first_value,
        case rule
            when 'type' then cast(limit_count as {{ dbt.type_string() }}) when 'source' then conditions else value
        end as second_value,
        limit_window as third_value,
        normalisation as fourth_value
    from {{ ref('identifier_rules') }}
    where rule <> 'match_threshold'

),

only_edited as (

    select * from edited
    {{ dbt.except() }}
    select * from in_force

),

only_in_force as (

    select * from in_force
    {{ dbt.except() }}
    select * from edited

)

select * from only_edited
union all
select * from only_in_force
