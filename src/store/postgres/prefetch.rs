//! What the rules ask about a batch, read ahead in one round trip.

use tokio_postgres::Row;
use uuid::Uuid;

use super::error::PgError;
use super::messages::{SHARING_ID, message_columns};
use super::outbox::{IN_ORDER, IN_ORDER_OF_MESSAGES};
use super::session::{Pipeline, columns};
use super::transaction::PgTx;
use super::values::Columns;
use super::{conversations, dedup, keys, resends};
use crate::event::SourceName;
use crate::store::core::Lookups;
use crate::store::ids::{KeyedHash, MessageRowId, OrderingKey};

const MESSAGES: &str = concat!("SELECT ", message_columns!(), " FROM smscope.messages AS m WHERE m.key = ANY($1)");

const MESSAGES_BY_ID: &str = concat!("SELECT ", message_columns!(), " FROM smscope.messages AS m WHERE m.id = ANY($1)");

/// The last messages under some keys, the key first.
const CONVERSATIONS: &str = concat!(
    "SELECT c.key, c.message, m.id IS NOT NULL, ",
    message_columns!(),
    " FROM smscope.conversation_keys AS c LEFT JOIN smscope.messages AS m ON m.id = c.message WHERE c.key = ANY($1)"
);

/// The keys of a batch, each once.
struct Asked {
    messages: Vec<Uuid>,
    shared_ids: Vec<Uuid>,
    event_keys: Vec<Uuid>,
    conversations: Vec<KeyedHash>,
    people: Vec<(SourceName, String)>,
    expectations: Vec<KeyedHash>,
    ordering_keys: Vec<OrderingKey>,
}

impl Asked {
    fn of(lookups: Lookups<'_>) -> Self {
        let messages = lookups.messages.iter().map(|(source, id, part)| keys::message(source.as_str(), id, part));
        let shared_ids = lookups.shared_ids.iter().map(|(source, id)| keys::id(source.as_str(), id));
        let event_keys = lookups.event_keys.iter().map(|(source, key)| keys::event(source.as_str(), key));
        let people = lookups.people.into_iter().map(|(source, person)| (source.clone(), person));
        Self {
            messages: once(messages),
            shared_ids: once(shared_ids),
            event_keys: once(event_keys),
            conversations: once(lookups.conversations),
            people: once(people),
            expectations: once(lookups.expectations),
            ordering_keys: once(lookups.ordering_keys),
        }
    }
}

/// In the order of an index, so that its pages are read one after the other.
fn once<T: Ord>(keys: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut keys: Vec<T> = keys.into_iter().collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

type Admit<'t> = fn(&PgTx<'t>, &Asked, &[Row]) -> Result<(), PgError>;

impl<'t> PgTx<'t> {
    /// Reads what the rules are going to ask, before they run.
    ///
    /// # Errors
    /// Those of the database.
    pub fn prefetch(&self, lookups: Lookups<'_>) -> Result<(), PgError> {
        let (has_relays, has_resends) = (lookups.has_relays, lookups.has_resends);
        let asked = Asked::of(lookups);
        let (mut statements, mut admits) = (Pipeline::default(), Vec::<Admit<'t>>::new());
        if !asked.messages.is_empty() {
            statements.add(MESSAGES, columns![asked.messages.clone() => UUID_ARRAY]);
            admits.push(Self::admit_messages);
        }
        if !asked.shared_ids.is_empty() {
            statements.add(SHARING_ID, columns![asked.shared_ids.clone() => UUID_ARRAY]);
            admits.push(Self::admit_sharing_ids);
        }
        if !asked.event_keys.is_empty() {
            statements.add(dedup::FIND, columns![asked.event_keys.clone() => UUID_ARRAY]);
            admits.push(Self::admit_event_keys);
        }
        if !asked.conversations.is_empty() {
            statements.add(CONVERSATIONS, columns![asked.conversations.clone() => INT8_ARRAY]);
            admits.push(Self::admit_conversations);
        }
        if !asked.people.is_empty() {
            let (sources, people): (Vec<_>, Vec<_>) =
                asked.people.iter().map(|(source, person)| (source.as_str().to_owned(), person.clone())).unzip();
            statements.add(conversations::FIND_OPT_OUTS, columns![sources => TEXT_ARRAY, people => TEXT_ARRAY]);
            admits.push(|tx, asked, rows| tx.opt_outs.borrow_mut().admit(&asked.people, rows));
        }
        if has_resends && !asked.messages.is_empty() {
            statements.add(resends::EXPECTING, columns![asked.expectations.clone() => INT8_ARRAY]);
            admits.push(Self::admit_expecting);
            statements.add(resends::REPLACED_BY, columns![asked.messages.clone() => UUID_ARRAY]);
            admits.push(Self::admit_replaced);
        }
        if !asked.ordering_keys.is_empty() {
            statements.add(IN_ORDER, columns![asked.ordering_keys.clone() => INT8_ARRAY]);
            admits.push(|tx, asked, rows| tx.deliveries.borrow_mut().admit_orders(&asked.ordering_keys, rows));
        }
        if has_relays && !asked.messages.is_empty() {
            statements.add(IN_ORDER_OF_MESSAGES, columns![asked.messages.clone() => UUID_ARRAY]);
            admits.push(Self::admit_orders_of_messages);
        }
        if statements.is_empty() {
            return Ok(());
        }
        let found = self.read_ahead(&statements)?;
        admits.iter().zip(&found).try_for_each(|(admit, rows)| admit(self, &asked, rows))
    }

    /// Reads these messages and what stands for them elsewhere, to be expired or erased, in one round trip.
    ///
    /// # Errors
    /// Those of the database.
    pub fn prefetch_messages(&self, ids: &[MessageRowId]) -> Result<(), PgError> {
        if ids.is_empty() {
            return Ok(());
        }
        let keys: Vec<OrderingKey> = ids.iter().map(|id| OrderingKey(id.0)).collect();
        let mut statements = Pipeline::default();
        for sql in [MESSAGES_BY_ID, resends::OF_MESSAGES, IN_ORDER] {
            statements.add(sql, columns![keys.clone() => INT8_ARRAY]);
        }
        let found = self.read_ahead(&statements)?;
        let [messages, of_messages, in_order] = &found[..] else { return Ok(()) };
        messages.iter().try_for_each(|row| self.messages.borrow_mut().admit(row, 0).map(drop))?;
        let mut resends = self.resends.borrow_mut();
        resends.ask_for_messages(ids);
        of_messages.iter().try_for_each(|row| resends.admit(row).map(drop))?;
        self.deliveries.borrow_mut().admit_orders(&keys, in_order)
    }

    fn admit_messages(&self, asked: &Asked, rows: &[Row]) -> Result<(), PgError> {
        let mut messages = self.messages.borrow_mut();
        messages.ask_for(&asked.messages);
        rows.iter().try_for_each(|row| messages.admit(row, 0).map(drop))
    }

    fn admit_sharing_ids(&self, asked: &Asked, rows: &[Row]) -> Result<(), PgError> {
        let mut messages = self.messages.borrow_mut();
        messages.ask_for_ids(&asked.shared_ids);
        rows.iter().try_for_each(|row| messages.admit_sharing(row))
    }

    fn admit_event_keys(&self, asked: &Asked, rows: &[Row]) -> Result<(), PgError> {
        let mut event_keys = self.event_keys.borrow_mut();
        event_keys.ask_for(&asked.event_keys);
        rows.iter().try_for_each(|row| event_keys.admit(row))
    }

    fn admit_conversations(&self, asked: &Asked, rows: &[Row]) -> Result<(), PgError> {
        let mut conversations = self.conversations.borrow_mut();
        conversations.ask_for(&asked.conversations);
        for row in rows {
            let mut columns = Columns::of("conversation_keys", row, 0);
            conversations.admit(columns.get()?, columns.get()?);
            // The message may have expired.
            if columns.get()? {
                self.messages.borrow_mut().admit(row, 3)?;
            }
        }
        Ok(())
    }

    fn admit_expecting(&self, asked: &Asked, rows: &[Row]) -> Result<(), PgError> {
        let mut resends = self.resends.borrow_mut();
        resends.ask_for(&asked.expectations);
        rows.iter().try_for_each(|row| resends.admit(row).map(drop))
    }

    fn admit_replaced(&self, asked: &Asked, rows: &[Row]) -> Result<(), PgError> {
        let mut resends = self.resends.borrow_mut();
        resends.ask_for_replaced(self.messages.borrow().with_keys(&asked.messages));
        rows.iter().try_for_each(|row| resends.admit(row).map(drop))
    }

    fn admit_orders_of_messages(&self, asked: &Asked, rows: &[Row]) -> Result<(), PgError> {
        let messages = self.messages.borrow();
        let keys: Vec<OrderingKey> = messages.with_keys(&asked.messages).map(|id| OrderingKey(id.0)).collect();
        self.deliveries.borrow_mut().admit_orders(&keys, rows)
    }
}
