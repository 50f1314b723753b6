// SPDX-License-Identifier: Apache-2.0

//! The two ends of one stream of a transfer.
//!
//! The rule: each byte is compared when it is read. Nothing here knows where the streams come from.

use super::{Case, Context as _, Kind, Outcome};
use crate::{
    endpoint::{Reader, Stream, Writer},
    payload::{Checker, Payload},
};

/// The client's part of one stream: returns the key of what it has sent or received.
///
/// # Errors
///
/// Says what failed, and after how many bytes.
pub async fn client_stream(
    stream: Stream,
    key: u64,
    case: Case,
    waits_for_end: bool,
) -> Outcome<u64> {
    let payload = Payload::new(key, case.size);
    let (mut reader, mut writer) = stream.into_split();
    match case.kind {
        Kind::Upload => {
            send(&mut writer, payload).await?;
            if waits_for_end {
                receive_end(&mut reader).await?;
            }
            Ok(key)
        }
        Kind::Download => {
            let payload = receive(&mut reader, case.size).await?;
            writer.shutdown().context("shutdown")?;
            Ok(payload.key())
        }
        Kind::Echo => {
            let (_, echoed) =
                tokio::try_join!(send(&mut writer, payload), receive(&mut reader, case.size))?;
            if echoed == payload {
                Ok(key)
            } else {
                Err(format!("the echo is that of stream {}", echoed.key()))
            }
        }
    }
}

/// The server's part of one stream: returns the key of what it has sent or received.
///
/// # Errors
///
/// Says what failed, and after how many bytes.
pub async fn server_stream(
    stream: Stream,
    key: u64,
    case: Case,
    waits_for_end: bool,
) -> Outcome<u64> {
    let (mut reader, mut writer) = stream.into_split();
    match case.kind {
        Kind::Upload => {
            let payload = receive(&mut reader, case.size).await?;
            writer.shutdown().context("shutdown")?;
            Ok(payload.key())
        }
        Kind::Download => {
            send(&mut writer, Payload::new(key, case.size)).await?;
            if waits_for_end {
                receive_end(&mut reader).await?;
            }
            Ok(key)
        }
        Kind::Echo => {
            let payload = echo(&mut reader, &mut writer, case.size).await?;
            Ok(payload.key())
        }
    }
}

/// Sends back what is read while it is read.
async fn echo(reader: &mut Reader, writer: &mut Writer, len: usize) -> Outcome<Payload> {
    let mut checker = Checker::new(len);
    let mut buffer = vec![0; READ_SIZE];
    loop {
        let read = read(reader, &mut buffer, &mut checker, len).await?;
        if read == 0 {
            return checker.finish();
        }
        write(writer, &buffer[..read], checker.position(), len).await?;
    }
}

/// Sends all of `payload`, with the end on the last bytes.
///
/// # Errors
///
/// Says after how many bytes which error came.
pub async fn send(writer: &mut Writer, payload: Payload) -> Outcome {
    // not a multiple of any packet size, so that writes end within packets
    let mut buffer = vec![0; 100_003.min(payload.len())];
    let mut position = 0;
    while position < payload.len() {
        let len = buffer.len().min(payload.len() - position);
        payload.fill(position, &mut buffer[..len]);
        position += len;
        write(writer, &buffer[..len], position, payload.len()).await?;
    }
    Ok(())
}

/// Writes the bytes up to `position` of a payload of `len`, the last of them with the end.
async fn write(writer: &mut Writer, mut bytes: &[u8], position: usize, len: usize) -> Outcome {
    if position < len {
        writer.write_all_from(&mut bytes).await
    } else {
        writer.write_all_from_fin(&mut bytes).await
    }
    .with_context(|| format!("write up to byte {position} of {len}"))?;
    Ok(())
}

/// Reads and compares a payload of `len` bytes up to its end.
///
/// # Errors
///
/// Says which byte differs, or after how many bytes which error came.
pub async fn receive(reader: &mut Reader, len: usize) -> Outcome<Payload> {
    let mut checker = Checker::new(len);
    let mut buffer = vec![0; READ_SIZE];
    while read(reader, &mut buffer, &mut checker, len).await? > 0 {}
    checker.finish()
}

/// Reads once and compares, of a payload of `len` bytes: how many there were, which is none at the end.
async fn read(
    reader: &mut Reader,
    buffer: &mut [u8],
    checker: &mut Checker,
    len: usize,
) -> Outcome<usize> {
    let mut out = &mut *buffer;
    let read = reader.read_into(&mut out).await;
    let read = read.with_context(|| format!("read after {} of {len} bytes", checker.position()))?;
    checker.check(&buffer[..read])?;
    Ok(read)
}

/// Reads an end that has no bytes before it.
///
/// # Errors
///
/// When there are bytes, or when reading fails.
pub async fn receive_end(reader: &mut Reader) -> Outcome {
    let mut buffer = [0; 1];
    let mut out = &mut buffer[..];
    match reader.read_into(&mut out).await.context("read the end")? {
        0 => Ok(()),
        _ => Err(format!("byte {:#04x} instead of the end", buffer[0])),
    }
}

/// In bytes. Larger than one burst, so that several packets are read at once.
const READ_SIZE: usize = 1 << 17;
