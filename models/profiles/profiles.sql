-- One row per person (or device nobody has been recognised on): newest identity traits and computed traits.

with

profile_ids as (

    select
        profile_id,
        cast(count(*) as {{ dbt.type_int() }}) as count_identifiers,
        max(case when identifier_type = 'user_id' then 1 else 0 end) = 1 as is_known
    from {{ ref('identity_graph') }}
    group by 1

)

select
    ---------- ids
    profile_ids.profile_id,

    ---------- identity traits
    names.email,
    names.phone,
    names.name,
    names.first_name,
    names.last_name,
    names.city,
    names.postal_code,
    names.country,
    names.birthday,

    ---------- computed traits: presence
    profile_ids.is_known,
    profile_ids.count_identifiers,
    coalesce(activity.count_events, 0) as count_events,
    coalesce(activity.count_active_days, 0) as count_active_days,
    coalesce(activity.count_channels, 0) as count_channels,
    activity.first_seen_at,
    activity.last_seen_at,
    activity.last_online_at,
    activity.last_in_store_at,

    ---------- computed traits: orders
    coalesce(orders.count_orders, 0) as count_orders,
    coalesce(orders.count_store_orders, 0) as count_store_orders,
    coalesce(orders.count_refunds, 0) as count_refunds,
    cast(coalesce(orders.revenue, 0) as numeric(18, 2)) as revenue,
    cast(coalesce(orders.refunded, 0) as numeric(18, 2)) as refunded,
    cast(orders.average_order_value as numeric(18, 2)) as average_order_value,
    orders.first_order_at,
    orders.last_order_at,
    orders.last_store_order_at,
    cast({{ dbt.datediff('orders.last_order_at', cdi.as_of(), 'day') }} as {{ dbt.type_int() }}) -- noqa: LT05
        as days_since_last_order,

    ---------- computed traits: taste
    favourites.last_product_bought,
    favourites.favourite_category,
    favourites.favourite_brand,

    ---------- computed traits: cart
    carts.last_added_at,
    carts.count_products_in_cart,
    cast(carts.cart_value as numeric(18, 2)) as cart_value,
    carts.last_product_added,

    ---------- computed traits: newsletter
    coalesce(newsletter.is_subscribed, false) as is_newsletter_subscriber
from profile_ids
left join {{ ref('profile_identity') }} as names on profile_ids.profile_id = names.profile_id
left join {{ ref('profile_activity') }} as activity on profile_ids.profile_id = activity.profile_id
left join {{ ref('profile_orders') }} as orders on profile_ids.profile_id = orders.profile_id
left join {{ ref('profile_favourites') }} as favourites on profile_ids.profile_id = favourites.profile_id
left join {{ ref('profile_carts') }} as carts on profile_ids.profile_id = carts.profile_id
left join {{ ref('profile_newsletter') }} as newsletter on profile_ids.profile_id = newsletter.profile_id
