{#
  An amount in the currency's smallest unit (cents) as numeric(18, 4) of the currency.
  Source: Stripe, "Supported currencies": zero-decimal currencies have no smaller unit.
#}
{% macro minor_to_major(amount, currency) -%}
    case
        when lower({{ currency }}) in (
            'bif', 'clp', 'djf', 'gnf', 'jpy', 'kmf', 'krw', 'mga', 'pyg', 'rwf', 'ugx', 'vnd', 'vuv', 'xaf', 'xof', 'xpf'
        ) then cast({{ cdi.try_numeric(amount, 18, 0) }} as numeric(18, 4))
        else cast({{ cdi.try_numeric(amount, 18, 0) }} / 100 as numeric(18, 4))
    end
{%- endmacro %}
