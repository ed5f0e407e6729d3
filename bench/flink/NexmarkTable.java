import java.util.Set;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.connector.source.SourceReaderContext;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.connector.datagen.source.DataGeneratorSource;
import org.apache.flink.connector.datagen.source.GeneratorFunction;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.ProviderContext;
import org.apache.flink.table.connector.source.DataStreamScanProvider;
import org.apache.flink.table.connector.source.DynamicTableSource;
import org.apache.flink.table.connector.source.ScanTableSource;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.factories.DynamicTableSourceFactory;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.runtime.typeutils.InternalTypeInfo;
import org.apache.flink.table.types.logical.RowType;

/** The connector {@code nexmark} for Flink: see {@link NexmarkEvents}. */
public final class NexmarkTable implements DynamicTableSourceFactory {
    private static final ConfigOption<Long> EVENTS = ConfigOptions.key("events.num").longType().noDefaultValue();
    private static final ConfigOption<Long> PERSONS = number("person.proportion", 1);
    private static final ConfigOption<Long> AUCTIONS = number("auction.proportion", 3);
    private static final ConfigOption<Long> BIDS = number("bid.proportion", 46);

    /** Millstream can leave out what nobody reads; this one makes everything. */
    private static final ConfigOption<String> MATERIALIZE =
            ConfigOptions.key("materialize").stringType().defaultValue("all");

    private static ConfigOption<Long> number(String key, long usual) {
        return ConfigOptions.key(key).longType().defaultValue(usual);
    }

    @Override
    public String factoryIdentifier() {
        return "nexmark";
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return Set.of(EVENTS);
    }

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        return Set.of(PERSONS, AUCTIONS, BIDS, MATERIALIZE);
    }

    @Override
    public DynamicTableSource createDynamicTableSource(Context context) {
        FactoryUtil.TableFactoryHelper helper = FactoryUtil.createTableFactoryHelper(this, context);
        helper.validate();
        NexmarkEvents events =
                new NexmarkEvents(
                        helper.getOptions().get(PERSONS), helper.getOptions().get(AUCTIONS), helper.getOptions().get(BIDS));
        RowType type = (RowType) context.getPhysicalRowDataType().getLogicalType();
        return new Scan(events, helper.getOptions().get(EVENTS), type);
    }

    /** A scan of all events. */
    private record Scan(NexmarkEvents events, long count, RowType type) implements ScanTableSource {
        @Override
        public ChangelogMode getChangelogMode() {
            return ChangelogMode.insertOnly();
        }

        @Override
        public ScanRuntimeProvider getScanRuntimeProvider(ScanContext context) {
            return new Provider(events, count, type);
        }

        @Override
        public DynamicTableSource copy() {
            return this;
        }

        @Override
        public String asSummaryString() {
            return "nexmark";
        }
    }

    private record Provider(NexmarkEvents events, long count, RowType type) implements DataStreamScanProvider {
        @Override
        public DataStream<RowData> produceDataStream(ProviderContext context, StreamExecutionEnvironment environment) {
            Numbered made = new Numbered(events, count, environment.getParallelism());
            DataGeneratorSource<RowData> source =
                    new DataGeneratorSource<>(made, count, InternalTypeInfo.of(type));
            return environment.fromSource(source, WatermarkStrategy.noWatermarks(), "nexmark");
        }

        @Override
        public boolean isBounded() {
            return true;
        }
    }

    /**
     * Flink gives each reader a range of numbers, the first ones one number more; each makes every n-th event of them, so
     * that the readers go through the time together.
     */
    private record Numbered(NexmarkEvents events, long count, int readers) implements GeneratorFunction<Long, RowData> {
        @Override
        public void open(SourceReaderContext context) {
            events.open();
        }

        @Override
        public RowData map(Long index) {
            long share = count / readers;
            long longer = count % readers;
            long inLonger = longer * (share + 1);
            long reader = index < inLonger ? index / (share + 1) : longer + (index - inLonger) / share;
            long start = reader * share + Math.min(reader, longer);
            return events.event((index - start) * readers + reader);
        }
    }
}
