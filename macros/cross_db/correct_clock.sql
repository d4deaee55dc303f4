{#
  When something happened by the server's clock: received_at - (sent_at - original_at).
  Source: Segment spec, "Timestamps in Segment". Null where any of the three is.
#}
{% macro correct_clock(received_at, sent_at, original_at) -%}
    {{ return(adapter.dispatch('correct_clock', 'cdi')(received_at, sent_at, original_at)) }}
{%- endmacro %}

{% macro default__correct_clock(received_at, sent_at, original_at) -%}
    ({{ received_at }} - ({{ sent_at }} - {{ original_at }}))
{%- endmacro %}

{% macro redshift__correct_clock(received_at, sent_at, original_at) -%}
    dateadd(microsecond, -datediff(microsecond, {{ original_at }}, {{ sent_at }}), {{ received_at }})
{%- endmacro %}

{% macro snowflake__correct_clock(received_at, sent_at, original_at) -%}
    timestampadd(microsecond, -datediff(microsecond, {{ original_at }}, {{ sent_at }}), {{ received_at }})
{%- endmacro %}

{% macro bigquery__correct_clock(received_at, sent_at, original_at) -%}
    timestamp_sub(
        {{ received_at }}, interval timestamp_diff({{ sent_at }}, {{ original_at }}, microsecond) microsecond
    )
{%- endmacro %}
