import java.io.Serializable;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;

/**
 * The events that Millstream's {@code nexmark} connector makes, each from its number alone, so that both engines compute
 * over the same rows. Its rates, sizes and ratios are the connector's defaults; its proportions are given.
 *
 * <p>Rows have the columns event_type, person, auction and bid, as Flink holds them within.
 */
final class NexmarkEvents implements Serializable {
    private static final long serialVersionUID = 1;

    private static final String[] FIRST_NAMES = {
        "Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"
    };
    private static final String[] LAST_NAMES = {
        "Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"
    };
    private static final StringData[] STATES = strings("AZ", "CA", "ID", "OR", "WA", "WY");
    private static final StringData[] CITIES =
            strings(
                    "Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent",
                    "Cheyenne");
    private static final String[] HOT_CHANNELS = {"Google", "Facebook", "Baidu", "Apple"};
    private static final int CHANNELS = 10_000;

    private static final long GOLDEN = 0x9e3779b97f4a7c15L;
    private static final int POOL_BYTES = 1 << 17;
    private static final int STARTS = 1 << 14;
    private static final double LOG2_10 = Math.log(10) / Math.log(2);

    private static final long FIRST_ID = 1_000;
    private static final long LEAD = 10;
    private static final long HOT_STEP = 100;
    private static final long AUCTIONS_IN_FLIGHT = 100;
    private static final long PEOPLE_ACTIVE = 1_000;
    private static final long EVENTS_A_SECOND = 10_000;
    private static final int PERSON_BYTES = 200;
    private static final int AUCTION_BYTES = 500;
    private static final int BID_BYTES = 100;

    /** 2015-07-15 00:00:00, the time of the first event. */
    private static final long START_MS = 1_436_918_400_000L;

    // Draws of different fields of one event are apart by these numbers.
    private static final int FIRST = 0;
    private static final int SECOND = 2;
    private static final int THIRD = 4;
    private static final int FOURTH = 6;
    private static final int FIFTH = 8;
    private static final int SIXTH = 10;
    private static final int EXTRA = 12;
    private static final int HOT = 14;
    private static final int CHANNEL = 16;

    private final long persons;
    private final long auctions;
    private final long cycle;

    /** Letters that texts are cut from; made where the events are. */
    private transient byte[] pool;

    private transient StringData[] channelNames;
    private transient StringData[] channelUrls;

    NexmarkEvents(long persons, long auctions, long bids) {
        this.persons = persons;
        this.auctions = auctions;
        this.cycle = persons + auctions + bids;
    }

    /** Makes what events are cut from. */
    void open() {
        pool = new byte[POOL_BYTES];
        long state = mix(0x5bd1e995L);
        for (int at = 0; at < POOL_BYTES; ) {
            state = mix(state + GOLDEN);
            for (int part = 0; part < 6 && at < POOL_BYTES; part++, at++) {
                int value = (int) (state >>> (8 * part)) & 0xff;
                pool[at] = (byte) (value % 13 == 0 ? ' ' : 'a' + value % 26);
            }
        }
        channelNames = new StringData[CHANNELS + HOT_CHANNELS.length];
        channelUrls = new StringData[channelNames.length];
        for (int number = 0; number < channelNames.length; number++) {
            boolean hot = number >= CHANNELS;
            StringBuilder url = new StringBuilder("https://www.nexmark.com");
            for (int part = 0; part < 3; part++) {
                url.append('/').append(letters(number, 40 + part, 5).toString().replace(' ', '_'));
            }
            url.append("/item.htm?query=1");
            if (!hot && below(number, 50, 10) > 0) {
                url.append("&channel_id=").append(Integer.reverse(number) & 0x7fffffff);
            }
            channelNames[number] = StringData.fromString(hot ? HOT_CHANNELS[number - CHANNELS] : "channel-" + number);
            channelUrls[number] = StringData.fromString(url.toString());
        }
    }

    /** The event of a number. */
    RowData event(long number) {
        long round = number / cycle;
        long offset = number % cycle;
        GenericRowData row = new GenericRowData(4);
        long person = round * persons + Math.min(offset, persons - 1);
        if (offset < persons) {
            row.setField(0, 0);
            row.setField(1, person(number, person));
            return row;
        }
        long auction = round * auctions + Math.min(offset - persons, auctions - 1);
        if (offset < persons + auctions) {
            row.setField(0, 1);
            row.setField(2, auction(number, person, auction));
        } else {
            row.setField(0, 2);
            row.setField(3, bid(number, person, auction));
        }
        return row;
    }

    private RowData person(long event, long person) {
        String name = FIRST_NAMES[(int) below(event, FIRST, 11)] + " " + LAST_NAMES[(int) below(event, FIRST + 1, 9)];
        String email = word(event, SECOND, 7).toString().trim() + "@" + word(event, SECOND + 18, 5).toString().trim();
        String digits = String.format("%016d", below(event, THIRD, 10_000_000_000_000_000L));
        String card = String.join(" ", digits.substring(0, 4), digits.substring(4, 8), digits.substring(8, 12),
                digits.substring(12));
        return GenericRowData.of(
                FIRST_ID + person,
                StringData.fromString(name),
                StringData.fromString(email + ".com"),
                StringData.fromString(card),
                CITIES[(int) below(event, FOURTH, 10)],
                STATES[(int) below(event, FIFTH, 6)],
                TimestampData.fromEpochMillis(timeMs(event)),
                filler(event, 70, PERSON_BYTES));
    }

    private RowData auction(long event, long lastPerson, long auction) {
        long price = price(event, FIRST);
        long time = timeMs(event);
        long horizon = Math.max(timeMs(event + AUCTIONS_IN_FLIGHT * cycle / auctions) - time, 0);
        long length = 1 + below(event, SIXTH, Math.max(2 * horizon, 1));
        long seller = below(event, HOT, 4) > 0 ? lastPerson / HOT_STEP * HOT_STEP : anyPerson(event, lastPerson);
        return GenericRowData.of(
                FIRST_ID + auction,
                word(event, FOURTH, 20),
                word(event, FIFTH, 100),
                price,
                price + price(event, SECOND),
                TimestampData.fromEpochMillis(time),
                TimestampData.fromEpochMillis(time + length),
                FIRST_ID + seller,
                10 + below(event, THIRD, 5),
                filler(event, 120, AUCTION_BYTES));
    }

    private RowData bid(long event, long lastPerson, long newest) {
        long auction = newest / HOT_STEP * HOT_STEP;
        if (below(event, HOT, 2) == 0) {
            long oldest = Math.max(newest - AUCTIONS_IN_FLIGHT, 0);
            auction = oldest + below(event, FOURTH, newest - oldest + 1 + LEAD);
        }
        boolean hotBidder = below(event, HOT + 1, 4) > 0;
        long bidder = hotBidder ? lastPerson / HOT_STEP * HOT_STEP + 1 : anyPerson(event, lastPerson);
        boolean hotChannel = below(event, CHANNEL, 2) > 0;
        int channel =
                hotChannel
                        ? CHANNELS + (int) below(event, CHANNEL + 1, HOT_CHANNELS.length)
                        : (int) below(event, CHANNEL + 1, CHANNELS);
        return GenericRowData.of(
                FIRST_ID + auction,
                FIRST_ID + bidder,
                price(event, FIRST),
                channelNames[channel],
                channelUrls[channel],
                TimestampData.fromEpochMillis(timeMs(event)),
                filler(event, 32, BID_BYTES));
    }

    /** One of the people who are active, or about to come. */
    private long anyPerson(long event, long lastPerson) {
        long people = lastPerson + 1;
        long active = Math.min(people, PEOPLE_ACTIVE);
        return people - active + below(event, FIFTH, active + LEAD);
    }

    private static long timeMs(long event) {
        return START_MS + event * 1_000_000 / EVENTS_A_SECOND / 1_000;
    }

    private static long bits(long event, long field) {
        return mix((event * 64 + field) * GOLDEN);
    }

    private static long below(long event, long field, long below) {
        long bits = bits(event, field);
        // The high half of the product of two numbers without sign.
        return Math.multiplyHigh(bits, below) + ((bits >> 63) & below);
    }

    private static long price(long event, long field) {
        double unit = (bits(event, field) >>> 11) / (double) (1L << 53);
        return Math.round(Math.pow(2, unit * 6 * LOG2_10) * 100);
    }

    private StringData letters(long event, long field, int length) {
        int start = (int) below(event, field, Math.min(STARTS, POOL_BYTES - length));
        return StringData.fromBytes(pool, start, length);
    }

    private StringData word(long event, long field, long below) {
        return letters(event, field + 1, 3 + (int) Long.remainderUnsigned(bits(event, field), below - 3));
    }

    private StringData filler(long event, int size, int average) {
        int missing = average - size;
        int spread = missing / 5;
        return letters(event, EXTRA + 1, missing - spread + (int) below(event, EXTRA, 2L * spread));
    }

    private static long mix(long value) {
        value = (value ^ (value >>> 30)) * 0xbf58476d1ce4e5b9L;
        value = (value ^ (value >>> 27)) * 0x94d049bb133111ebL;
        return value ^ (value >>> 31);
    }

    private static StringData[] strings(String... texts) {
        StringData[] data = new StringData[texts.length];
        for (int at = 0; at < texts.length; at++) {
            data[at] = StringData.fromString(texts[at]);
        }
        return data;
    }
}
