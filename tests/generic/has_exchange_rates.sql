{# The currencies of amounts that no rate to another converts: traits in that currency do not count them. #}
{% test has_exchange_rates(model, to_currency) %}
select
    upper(amounts.currency) as currency,
    min(amounts.event_at) as first_at,
    max(amounts.event_at) as last_at,
    count(*) as count_rows
from {{ model }} as amounts
left join {{ ref('exchange_rates') }} as rates
    on upper(amounts.currency) = rates.from_currency
    and rates.to_currency = '{{ to_currency }}'
    and amounts.event_at >= rates.valid_from
    and amounts.event_at < rates.valid_to
where upper(amounts.currency) not in ('{{ to_currency }}', '') and rates.rate is null
group by 1
{% endtest %}
