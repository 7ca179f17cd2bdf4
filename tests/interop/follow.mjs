// Follows an event stream with one of three npm packages, which come back by themselves when the line is cut.
// Prints what it was told, as [[id, type, data], ...], once an event says END.
// node follow.mjs PACKAGE URL TOKEN END TYPE...
import { EventSource } from 'eventsource'
import { EventSourcePolyfill } from 'event-source-polyfill'
import launchdarkly from 'launchdarkly-eventsource'

const [make, url, token, end, ...types] = process.argv.slice(2)
const headers = { Authorization: `Bearer ${token}` }

const makes = {
  'eventsource': () => new EventSource(url, { fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, ...headers } }) }),
  'event-source-polyfill': () => new EventSourcePolyfill(url, { headers }),
  'launchdarkly-eventsource': () => new launchdarkly.EventSource(url, { headers })
}

const told = []
const source = makes[make]()
for (const type of types) {
  source.addEventListener(type, event => {
    told.push([event.lastEventId, event.type, event.data])
    if (event.data.includes(end)) {
      source.close()
      process.stdout.write(JSON.stringify(told), () => process.exit(0))
    }
  })
}
source.onerror = error => { if ((error.code ?? error.status) >= 400) { console.error(error); process.exit(1) } }
