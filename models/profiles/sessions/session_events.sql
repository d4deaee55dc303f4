{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    indexes=cdi.indexes([
        {'columns': ['identifier']}, {'columns': ['event_id']}, {'columns': ['loaded_at']}, {'columns': ['event_at']}
    ])
) }}
-- One row per event of a website or an app, with what sessions need of it: its JSON is read once, when it arrives.
{%- set campaign = ['source', 'medium', 'name', 'content', 'term'] %}

with

found as (

    select
        event_id,
        identifier,
        channel,
        type,
        event,
        event_at,
        loaded_at,
        properties,
        {{ cdi.json_columns('context', texts={
            'campaign_source': 'campaign.source',
            'campaign_medium': 'campaign.medium',
            'campaign_name': 'campaign.name',
            'campaign_content': 'campaign.content',
            'campaign_term': 'campaign.term',
            'page_url': 'page.url',
            'page_search': 'page.search',
            'page_path': 'page.path',
            'page_referrer': 'page.referrer',
        }) }}
    from {{ ref('events') }}
    where channel in ('web', 'mobile') and identifier is not null and {{ cdi.is_new() }}
    {{ cdi.computed_once() }}

),

-- A page call says where it was in its properties too, and may leave it out of the context.
placed as (

    select
        *,
        coalesce(page_url, case when type = 'page' then {{ cdi.json_text('properties', 'url') }} end) as url,
        coalesce(page_search, case when type = 'page' then {{ cdi.json_text('properties', 'search') }} end) as search,
        coalesce(
            nullif(page_path, ''),
            case when type = 'page' then {{ cdi.json_text('properties', 'path') }} end,
            case when type in ('page', 'screen') then event end
        ) as page,
        nullif(
            coalesce(page_referrer, case when type = 'page' then {{ cdi.json_text('properties', 'referrer') }} end), ''
        ) as referrer_url
    from found
    {{ cdi.computed_once() }}

),

addressed as (

    select
        *,
        {{ cdi.url_host('url') }} as host,
        {{ cdi.url_host('referrer_url') }} as host_before,
        case
            when search like '%utm!_%' escape '!' or url like '%utm!_%' escape '!'
                then replace(
                    {{ dbt.split_part(
                        "coalesce(nullif(search, ''), " ~ dbt.split_part('url', "'?'", 2) ~ ")", "'#'", 1
                    ) }}, '?', ''
                )
        end as query
    from placed
    {{ cdi.computed_once() }}

),

-- The page before on the same site is no referrer.
sourced as (

    select
        *,
        {% for part in campaign -%}
        coalesce(
            nullif(trim(campaign_{{ part }}), ''),
            {{ cdi.url_parameter('query', 'utm_campaign' if part == 'name' else 'utm_' ~ part) }}
        ) as {{ part }},
        {% endfor -%}
        case when host_before <> coalesce(host, '') then referrer_url end as referrer,
        case when host_before <> coalesce(host, '') then host_before end as referrer_host,
        type = 'track' and coalesce(event, '') = 'Order Completed' as is_order
    from addressed
    {{ cdi.computed_once() }}

)

select
    ---------- ids
    event_id,
    identifier,

    ---------- text
    channel,
    page,
    referrer,
    referrer_host,
    {% for part in campaign -%}
    {{ part }} as campaign_{{ part }},
    {% endfor -%}
    case
        when coalesce(source, medium, name) is not null
            then coalesce(source, '') || ' / ' || coalesce(medium, '') || ' / ' || coalesce(name, '')
    end as campaign,

    ---------- what happened
    type in ('page', 'screen') as is_page_view,
    is_order,
    cast(
        case when is_order then {{ cdi.try_numeric(cdi.json_text('properties', 'revenue')) }} end as numeric(18, 4)
    ) as revenue,

    ---------- timestamps
    event_at,
    loaded_at
from sourced
