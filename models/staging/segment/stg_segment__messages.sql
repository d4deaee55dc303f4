-- One row per message in Segment's format, typed, with the device's clock corrected; duplicates still included.

with

source as (

    select * from {{ source('segment', 'messages') }}

),

parsed as (

    select
        {{ cdi.json_columns('message', texts={
            'message_id': 'messageId',
            'type': 'type',
            'track_name': 'event',
            'page_name': 'name',
            'user_id': 'userId',
            'anonymous_id': 'anonymousId',
            'previous_id': 'previousId',
            'group_id': 'groupId',
            'context_group_id': 'context.groupId',
            'original_at_text': 'originalTimestamp',
            'sent_at_text': 'sentAt',
            'received_at_text': 'receivedAt',
            'timestamp_text': 'timestamp',
            'context_channel': 'context.channel',
            'device_type': 'context.device.type',
            'page_url': 'context.page.url'
        }, objects={
            'properties': 'properties',
            'traits': 'traits',
            'context': 'context'
        }) }},
        {{ dbt.hash('message') }} as message_hash,
        load_id,
        loaded_at,
        source_line
    from source

),

typed as (

    select
        *,
        {{ cdi.try_timestamp('original_at_text') }} as original_at,
        {{ cdi.try_timestamp('sent_at_text') }} as sent_at,
        coalesce({{ cdi.try_timestamp('received_at_text') }}, loaded_at) as received_at,
        {{ cdi.try_timestamp('timestamp_text') }} as sender_at
    from parsed

),

renamed as (

    select
        ---------- ids
        coalesce(nullif(trim(message_id), ''), message_hash) as event_id,
        nullif(trim(user_id), '') as user_id,
        nullif(trim(anonymous_id), '') as anonymous_id,
        nullif(trim(previous_id), '') as previous_id,
        coalesce(nullif(trim(group_id), ''), nullif(trim(context_group_id), '')) as group_id,

        ---------- text
        type,
        coalesce(track_name, page_name) as event,
        case
            when context_channel in ('browser', 'web') then 'web'
            when context_channel in ('mobile', 'server') then context_channel
            when type = 'screen' or lower(device_type) in ('ios', 'android') then 'mobile'
            when page_url is not null then 'web'
            else 'server'
        end as channel,

        ---------- json
        properties,
        traits,
        context,

        ---------- timestamps
        -- Nothing happens after it was received: a clock that says so is wrong, whatever it was corrected by.
        least(
            coalesce(
                {{ cdi.correct_clock('received_at', 'sent_at', 'original_at') }}, sender_at, original_at, received_at
            ),
            received_at
        ) as event_at,
        received_at,
        loaded_at,

        ---------- arrival
        load_id,
        source_line
    from typed

)

select * from renamed
