{#
  A street and number in lower case as they are compared: the common abbreviations of its last word, and one space for
  whatever stands between words.
#}
{% macro comparable_street(street) -%}
    {%- set text = namespace(sql=street) -%}
    {%- for pattern, replacement in [
        ('(straße|strasse|straat|str[.])', 'str '),
        (' (street|st[.])( |$)', ' st '),
        (' (road|rd[.])( |$)', ' rd '),
        ('(^| )(avenue|ave[.]|av[.])( |$)', ' av '),
        ('[ .,;:/-]+', ' '),
    ] -%}
        {%- set text.sql = cdi.regexp_replace_all(text.sql, pattern, replacement) -%}
    {%- endfor -%}
    {{ text.sql }}
{%- endmacro %}
