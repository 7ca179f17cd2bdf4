// Reads a calendar from standard input with one of two npm packages.
// Prints what is in it, as {uid: [start, end, summary, status, sequence], ...}, with instants in milliseconds.
// node calendar.mjs PACKAGE < calendar.ics
import ICAL from 'ical.js'
import ical from 'node-ical'
import { readFileSync } from 'node:fs'

const text = readFileSync(0, 'utf-8')

const makes = {
  'ical.js': () => {
    const calendar = new ICAL.Component(ICAL.parse(text))
    for (const zone of calendar.getAllSubcomponents('vtimezone')) ICAL.TimezoneService.register(new ICAL.Timezone(zone))
    return calendar.getAllSubcomponents('vevent').map(part => {
      const event = new ICAL.Event(part)
      const [start, end] = [event.startDate, event.endDate].map(time => time.toUnixTime() * 1000)
      return [event.uid, [start, end, event.summary, part.getFirstPropertyValue('status'), event.sequence]]
    })
  },
  'node-ical': () => Object.values(ical.sync.parseICS(text)).filter(part => part.type === 'VEVENT').map(
    part => [part.uid, [part.start.getTime(), part.end.getTime(), part.summary, part.status, Number(part.sequence)]])
}

process.stdout.write(JSON.stringify(Object.fromEntries(makes[process.argv[2]]())))
