{# Reading addresses of pages, of any page: what is no address gives null or nothing of use, never an error. #}

{# The host of an address in lower case, without www. and port: shop.example of https://www.shop.example:443/sale?x=1 #}
{% macro url_host(url) -%}
    {%- set text = namespace(sql="replace(lower(" ~ dbt.split_part(url, "'://'", 2) ~ "), 'www.', '')") -%}
    {%- for end in ['/', '?', ':'] -%}
        {%- set text.sql = dbt.split_part(text.sql, "'" ~ end ~ "'", 1) -%}
    {%- endfor -%}
    nullif({{ text.sql }}, '')
{%- endmacro %}

{# A parameter of a query (a=1&b=2); + and %20 are spaces, other escapes stay as they are. #}
{% macro url_parameter(query, name) -%}
    {%- set value = dbt.split_part(dbt.split_part("'&' || " ~ query, "'&" ~ name ~ "='", 2), "'&'", 1) -%}
    nullif(replace(replace({{ value }}, '+', ' '), '%20', ' '), '')
{%- endmacro %}
