{#
  For an error: the names that there are, after one that there is not. Of many only those that are like it: that share the
  beginning of a word which few others have.
#}
{% macro names_like(name, known) %}
    {%- set known = known | list -%}
    {%- if known | length <= 25 -%}{{ return('there are ' ~ known | join(', ')) }}{%- endif -%}
    {%- set found = [] -%}
    {%- for word in (name | string).split('_') if word | length >= 3 -%}
        {%- set sharing = [] -%}
        {%- for one in known if word[:5] in one -%}{%- do sharing.append(one) -%}{%- endfor -%}
        {%- if sharing | length <= 12 -%}{%- do found.extend(sharing) -%}{%- endif -%}
    {%- endfor -%}
    {%- if found -%}{{ return('did you mean ' ~ found | unique | join(' or ') ~ '?') }}{%- endif -%}
    {{ return('there are ' ~ known | length ~ ', for instance ' ~ known[:10] | join(', ')) }}
{% endmacro %}
