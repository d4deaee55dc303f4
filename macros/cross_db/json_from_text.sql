{# Text as a JSON value: the array it holds where it is the text of one, else a JSON string. #}
{% macro json_from_text(expression) -%}
    {{ return(adapter.dispatch('json_from_text', 'cdi')(expression)) }}
{%- endmacro %}

{% macro default__json_from_text(expression) -%}
    case
        when {{ expression }} like '[%' and json_valid({{ expression }}) then cast({{ expression }} as json)
        else to_json({{ expression }})
    end
{%- endmacro %}

{% macro postgres__json_from_text(expression) -%}
    case
        when {{ expression }} like '[%'
            then coalesce({{ var('raw_schema') }}.try_jsonb({{ expression }}), to_jsonb({{ expression }}))
        else to_jsonb({{ expression }})
    end
{%- endmacro %}

{% macro snowflake__json_from_text(expression) -%}
    case
        when {{ expression }} like '[%' then coalesce(try_parse_json({{ expression }}), to_variant({{ expression }}))
        else to_variant({{ expression }})
    end
{%- endmacro %}

{% macro bigquery__json_from_text(expression) -%}
    case
        when {{ expression }} like '[%'
            then coalesce(safe.parse_json({{ expression }}), to_json({{ expression }}))
        else to_json({{ expression }})
    end
{%- endmacro %}

{% macro redshift__json_from_text(expression) -%}
    case
        when {{ expression }} like '[%' and is_valid_json_array({{ expression }}) then json_parse({{ expression }})
        else cast({{ expression }} as super)
    end
{%- endmacro %}

{% macro spark__json_from_text(expression) -%} {{ expression }} {%- endmacro %}
