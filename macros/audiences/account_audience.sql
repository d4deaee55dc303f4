{#
  An audience of accounts: those any, all or none of whose users meet all conditions of `all`, and that meet the
  conditions of `traits` (cdi.trait, about columns of `accounts`) themselves.

    {{ cdi.account_audience(users='any', all=[cdi.did('signed_in', within='7 days')],
        traits=[cdi.trait('plan', equals='paid')], columns=['name']) }}

  An event of a user counts for the account that it names; one that names none, for all accounts of the user. Events go
  by the name of their model. `all` needs at least one user, `none` is also met by an account without any. It is computed
  in full each time.
#}
{% macro account_audience(users='any', all=[], traits=[], columns=[]) -%}
    {%- set file = model.original_file_path -%}
    {%- do cdi.require_conditions(all, file) -%}
    {%- do cdi.require_conditions(traits, file) -%}
    {%- if users not in ['any', 'all', 'none'] or not all + traits -%}
        {{ exceptions.raise_compiler_error(
            file ~ ": an account audience has conditions, and users is 'any', 'all' or 'none'."
        ) }}
    {%- endif -%}
    {{ config(meta={'account_audience': {
        'users': users, 'conditions': all, 'traits': traits, 'columns': columns,
    }}) }}
    {%- set leaves = cdi.leaves_of(all) -%}
    {%- set names = ['accounts', 'account_memberships', 'identity_graph', 'profiles'] + cdi.audiences_named(all) -%}
    {%- for leaf in leaves -%}
        {%- do names.extend([leaf.event] if 'event' in leaf else leaf.get('steps', []) | map(attribute='event') | list) -%}
    {%- endfor -%}
    {%- for name in names | unique -%}{%- do ref(name) -%}{%- endfor -%}
    {%- if not execute -%}{{ return('select 1 as account_id') }}{%- endif -%}

    {%- set checked = cdi.checked_conditions([{'file': file, 'conditions': all}]) -%}
    {%- set keys = ['profile_id', 'account_id'] -%}
    {%- set events = cdi.event_conditions(checked, keys, cdi.as_of()) -%}
    {%- for condition in checked -%}
        {%- for counted in cdi.counted_of(condition) if 'group_id' not in counted.node.columns -%}
            {{ exceptions.raise_compiler_error(
                condition.place ~ ": '" ~ counted.event ~ "' has no group_id, the account of an event."
            ) }}
        {%- endfor -%}
    {%- endfor -%}
    {%- set of_users = dict(events.conditions, **cdi.trait_conditions(checked)) -%}
    {%- set of_account, problems, known = {}, [], cdi.account_columns() -%}
    {%- for leaf in cdi.leaves_of(traits) -%}
        {%- if leaf.condition != 'trait' -%}
            {%- do problems.append(file ~ ', ' ~ leaf.sentence ~ ': this is no trait of an account; say it in all') -%}
        {%- else -%}
            {%- set place = file ~ ', ' ~ leaf.sentence -%}
            {%- do of_account.update({leaf.name: cdi.trait_condition_sql(
                dict(leaf, place=place), known, cdi.as_of(), problems, 'accounts'
            )}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if problems -%}
        {{ exceptions.raise_compiler_error('Wrong audiences. ' ~ problems | unique | join('; ') ~ '.') }}
    {%- endif -%}
    {%- do cdi.require_columns(columns, known, 'accounts') -%}
with

{% if events.steps %}{{ events.steps }},

{% endif -%}
users as (

    select
        memberships.account_id,
        case
            when
{{ cdi.conditions_sql(all, 'and', of_users) | indent(16, first=true) if all else '                true' }}
                then 1
            else 0
        end as meets
    from {{ ref('account_memberships') }} as memberships
    {%- if leaves | selectattr('condition', 'equalto', 'trait') | list %}
    inner join {{ ref('profiles') }} as profiles on memberships.profile_id = profiles.profile_id
    {%- endif %}
    {%- for relation in events.joins %}
    left join {{ relation }}
        on memberships.profile_id = {{ relation }}.profile_id
        and memberships.account_id = {{ relation }}.account_id
    {%- endfor %}
    {{- cdi.joined_audiences(all, 'memberships.profile_id') | indent(4) }}

),

users_of_accounts as (

    select
        account_id,
        count(*) as count_users,
        sum(meets) as count_meeting
    from users
    group by 1

)

select
    accounts.account_id
    {%- for column in columns %},
    accounts.{{ column }}
    {%- endfor %}
from {{ ref('accounts') }} as accounts
left join users_of_accounts on accounts.account_id = users_of_accounts.account_id
where
    {{ {
        'any': 'users_of_accounts.count_meeting > 0',
        'all': 'users_of_accounts.count_meeting = users_of_accounts.count_users',
        'none': 'coalesce(users_of_accounts.count_meeting, 0) = 0',
    }[users] if all else 'true' }}
    {%- if traits %}
    and
{{ cdi.conditions_sql(traits, 'and', of_account) | indent(4, first=true) }}
    {%- endif %}
{%- endmacro %}
