// Follows the clinic's events with the npm package `eventsource`, dropping the connection after each event; prints the ids it saw.
import { EventSource } from 'eventsource'

const [url, token, wanted] = process.argv.slice(2)
const seen = []
let last = ''

function follow () {
  const source = new EventSource(url, {
    fetch: (input, init) => fetch(input, {
      ...init, headers: { ...init.headers, Authorization: `Bearer ${token}`, ...(last && { 'Last-Event-ID': last }) }
    })
  })
  const take = event => {
    seen.push(event.lastEventId)
    last = event.lastEventId
    source.close()
    if (seen.length === Number(wanted)) { console.log(JSON.stringify(seen)); process.exit(0) }
    follow()
  }
  for (const name of process.argv.slice(5)) source.addEventListener(name, take)
  source.onerror = error => { if (error.code && error.code >= 400) { console.error(error); process.exit(1) } }
}

follow()
